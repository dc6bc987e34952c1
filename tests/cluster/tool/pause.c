/* Holds a pod's namespaces open until it is told to end; as process 1 of a shared one it also collects the dead.
 * With any argument it prints its environment and ends: a program in an image that holds nothing else. */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void leave(int number) { (void)number; _exit(0); }
static void collect(int number) { (void)number; while (waitpid(-1, 0, WNOHANG) > 0) {} }

int main(int count, char **arguments, char **environment) {
    (void)arguments;
    if (count > 1) {
        while (*environment) puts(*environment++);
        return 0;
    }
    signal(SIGINT, leave);
    signal(SIGTERM, leave);
    signal(SIGCHLD, collect);
    for (;;) pause();
}
