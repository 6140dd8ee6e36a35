// C++ interface of crash-monitor: the functions of crash_monitor.h with exceptions and destructors. C++11 and later,
// header only; programs link with libcrash_monitor. The manual of each function is in crash_monitor.h.
//
//     int main() {
//         if (crash_monitor::run_monitor()) return 0;
//         crash_monitor::installation armed("/var/lib/app/crashes");
//
// Every function may be called where its C function may be. Strings are copied, up to their first NUL; paths are in the
// file system's own bytes.
#ifndef CRASH_MONITOR_HPP
#define CRASH_MONITOR_HPP

#if !defined(__cpp_exceptions) && !defined(__EXCEPTIONS)
#error "crash_monitor.hpp reports errors as exceptions: a program built without exceptions uses crash_monitor.h"
#endif

#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>

#include "crash_monitor.h"

namespace crash_monitor {

// A call that failed. what() is its cm_last_error(): what failed, where, and what would be right.
class error : public std::runtime_error {
public:
    error(cm_status status, const std::string &message) : std::runtime_error(message), status_(status) {}

    // One of the CM_ERR_* codes.
    cm_status status() const noexcept { return status_; }

private:
    cm_status status_;
};

namespace detail {

inline void check(cm_status status) {
    if (status != CM_OK) throw error(status, cm_last_error());
}

inline cm_config *check(cm_config *config) {
    // cm_config_new gives no status: the arguments are all that it refuses.
    if (config == nullptr) throw error(CM_ERR_INVALID_ARGUMENT, cm_last_error());
    return config;
}

struct config_deleter {
    void operator()(cm_config *config) const noexcept { cm_config_free(config); }
};

} // namespace detail

// Settings for install(). A setter gives *this, for the next one; it throws error for a value that is not allowed, and
// the setting stays as it was. Can be moved, not copied; what was moved from can be destroyed or assigned to.
class config {
public:
    // The monitor listens at monitor.sock in dump_dir.
    explicit config(const std::string &dump_dir)
        : handle_(detail::check(cm_config_new(dump_dir.c_str(), nullptr))) {}

    config(const std::string &dump_dir, const std::string &socket_path)
        : handle_(detail::check(cm_config_new(dump_dir.c_str(), socket_path.c_str()))) {}

    config &app_name(const std::string &name) {
        detail::check(cm_config_set_app_name(get(), name.c_str()));
        return *this;
    }

    config &monitor_path(const std::string &path) {
        detail::check(cm_config_set_monitor_path(get(), path.c_str()));
        return *this;
    }

    config &monitor_log(const std::string &path) {
        detail::check(cm_config_set_monitor_log(get(), path.c_str()));
        return *this;
    }

    config &deadline(std::chrono::milliseconds time) {
        const auto count = time.count();
        if (count < 0 || count > std::numeric_limits<std::uint32_t>::max())
            throw error(CM_ERR_INVALID_ARGUMENT,
                        "deadline of " + std::to_string(count) + " ms is out of range: give 100 to 600000 ms");
        detail::check(cm_config_set_deadline_ms(get(), static_cast<std::uint32_t>(count)));
        return *this;
    }

    // The dump directory keeps the newest dumps, up to so many files and bytes.
    config &retention(std::uint32_t files, std::uint64_t bytes) {
        detail::check(cm_config_set_retention(get(), files, bytes));
        return *this;
    }

    // For the functions of crash_monitor.h. This object stays the owner.
    cm_config *get() const noexcept { return handle_.get(); }

private:
    std::unique_ptr<cm_config, detail::config_deleter> handle_;
};

// Serves as the monitor if this process was started as one, and is true then, when the last host has gone; false at
// once in any other process. A program that is to be its own monitor calls this first thing in main and returns where
// it is true. Throws error.
inline bool run_monitor() {
    const cm_status status = cm_run_monitor();
    if (status == CM_NOT_A_MONITOR) return false;
    detail::check(status);
    return true;
}

// Arms the process for good. Throws error; then nothing is installed.
inline void install(const config &settings) { detail::check(cm_install_with(settings.get())); }

// The same with every setting at its default.
inline void install(const std::string &dump_dir) { detail::check(cm_install(dump_dir.c_str(), nullptr)); }

// Disarms the process. Throws error where it is not armed.
inline void uninstall() { detail::check(cm_uninstall()); }

// Arms the process as long as it lives: install() at the beginning, uninstall at the end. A process is armed once, so
// it has one such object at a time, and it needs a name: a temporary disarms at the end of its line.
class installation {
public:
    explicit installation(const config &settings) { install(settings); }
    explicit installation(const std::string &dump_dir) { install(dump_dir); }
    ~installation() { (void)cm_uninstall(); }

    installation(const installation &) = delete;
    installation &operator=(const installation &) = delete;
};

// Gives the calling thread an alternate signal stack, so that its stack's overflow can be reported. Throws error.
// crash_monitor_threads.h does it for all threads of a program.
inline void thread_init() { detail::check(cm_thread_init()); }

// The version of the library that is loaded, "major.minor.patch".
inline const char *version() noexcept { return cm_version(); }

} // namespace crash_monitor

#endif // CRASH_MONITOR_HPP
