/* A small HTTP/1.1 server that says who it is and what it was asked: `whoami [port] [name]`.
 * Keep-alive, one thread a connection. A request with `wait=SECONDS` in its query is answered
 * after so long. SIGTERM ends it at once, in the middle of anything, unless the environment has
 *   WHOAMI_STOP_AFTER   seconds it serves on after SIGTERM
 *   WHOAMI_START_AFTER  seconds until it accepts connections */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static char name[256];
static unsigned stop_after;

static void stop(int sig) {
    if (sig == SIGTERM && stop_after) alarm(stop_after);
    else _exit(0);
}

static unsigned seconds(const char *variable) {
    const char *text = getenv(variable);
    return text ? (unsigned)atoi(text) : 0;
}

static size_t content_length(const char *head) {
    for (const char *line = head; line; line = strstr(line, "\r\n")) {
        if (line != head) line += 2;
        if (!strncasecmp(line, "content-length:", 15)) return strtoul(line + 15, NULL, 10);
        if (!*line || !strncmp(line, "\r\n", 2)) break;
    }
    return 0;
}

static double asked_wait(const char *head) {
    const char *found = strstr(head, "wait="), *end = strstr(head, "\r\n");
    return found && found < end ? strtod(found + 5, NULL) : 0;
}

static void *serve(void *arg) {
    int fd = (int)(long)arg, one = 1;
    char in[65536], out[70000];
    size_t have = 0;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    for (;;) {
        in[have] = 0;
        char *end = strstr(in, "\r\n\r\n");
        if (!end) {
            ssize_t n = have < sizeof in - 1 ? read(fd, in + have, sizeof in - 1 - have) : 0;
            if (n <= 0) break;
            have += (size_t)n;
            continue;
        }
        size_t head = (size_t)(end - in) + 4, body = content_length(in);
        while (have < head + body) { /* the body is read and dropped */
            char drop[4096];
            size_t want = head + body - have;
            ssize_t n = read(fd, drop, want < sizeof drop ? want : sizeof drop);
            if (n <= 0) goto done;
            body -= (size_t)n;
        }
        usleep((useconds_t)(asked_wait(in) * 1e6));
        char text[69000];
        int t = snprintf(text, sizeof text, "Hostname: %s\n%.*s\n", name, (int)(end - in), in);
        int n = snprintf(out, sizeof out,
                         "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s",
                         t, text);
        if (write(fd, out, (size_t)n) != n) break;
        have -= head + body;
        memmove(in, in + head + body, have);
    }
done:
    close(fd);
    return NULL;
}

int main(int argc, char **argv) {
    int port = argc > 1 ? atoi(argv[1]) : 80, one = 1;
    if (argc > 2) snprintf(name, sizeof name, "%s", argv[2]);
    else gethostname(name, sizeof name - 1);
    stop_after = seconds("WHOAMI_STOP_AFTER");
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    signal(SIGALRM, stop);
    signal(SIGPIPE, SIG_IGN);
    sleep(seconds("WHOAMI_START_AFTER"));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&any, sizeof any) || listen(fd, 1024)) { perror("whoami"); return 1; }
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 1 << 20);
    pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
    for (;;) {
        int client = accept(fd, NULL, NULL);
        pthread_t thread;
        if (client >= 0 && pthread_create(&thread, &small, serve, (void *)(long)client)) close(client);
    }
}
