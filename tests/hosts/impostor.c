/* A peer whose main thread has ended, and which asks for a dump of itself that blames a thread of another process. It links
 * no library but C's. Usage: impostor SOCKET TID */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char **arguments;

static void *ask(void *main_thread) {
    pthread_join(*(pthread_t *)main_thread, NULL);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, arguments[1], sizeof address.sun_path - 1);
    int socket_fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    /* Kind, payload size, thread, and the reason: its length and itself. */
    uint32_t request[] = {8, 12, (uint32_t)atoi(arguments[2]), 4, 0x3f3f3f3f};
    char answer[8192];
    if (connect(socket_fd, (struct sockaddr *)&address, sizeof address) < 0)
        _exit(3);
    if (send(socket_fd, request, sizeof request, 0) < 0 || recv(socket_fd, answer, sizeof answer, 0) <= 0)
        _exit(4);
    _exit(0);
}

int main(int argc, char **argv) {
    static pthread_t main_thread, thread;
    if (argc < 3)
        return 2;
    arguments = argv;
    main_thread = pthread_self();
    if (pthread_create(&thread, NULL, ask, &main_thread) != 0)
        return 5;
    pthread_exit(NULL);
}
