// A C++ host whose calls `crash-monitor show` is to name. Usage: calls DUMP_DIR - KIND
#include <crash_monitor.h>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace app {

template <typename T>
struct Box {
    T value;
    [[gnu::noinline]] void poke(const std::map<std::string, std::vector<T>> &) const {
        *reinterpret_cast<volatile T *>(0xdead0000) = value; // segv: poke
    }
};

} // namespace app

int main(int argc, char **argv) {
    if (argc != 4 || cm_install(argv[1], nullptr) != CM_OK)
        return 3;
    if (!std::strcmp(argv[3], "throw"))
        throw std::runtime_error("nobody catches this"); // throw: main
    auto work = [](int value) { app::Box<int>{value}.poke({}); };
    work(argc); // segv: main
}
