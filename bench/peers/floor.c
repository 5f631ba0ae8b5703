/* floor PORT WORKERS: the same handoff with nothing around it.

   The primary waits in epoll, accepts, and sends one descriptor at a time to each worker (SCM_RIGHTS over SEQPACKET),
   in turn; it closes its copy when the worker has acknowledged.  A worker answers every connection with one short
   response and closes it.  What the primary costs per connection here is what the kernel asks for it. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 64, QUEUE = 4096 };

static int channels[MOST], unacknowledged[MOST], workers, next_worker;
static int queue[QUEUE], first, waiting;

static void fail(const char *what) { perror(what); exit(1); }

static void send_descriptor(int channel, int descriptor) {
  char data = 'c', control[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec part = {&data, 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(head), &descriptor, sizeof descriptor);
  if (sendmsg(channel, &message, MSG_NOSIGNAL) < 0) fail("sendmsg");
}

static int receive_descriptor(int channel) {
  char data, control[CMSG_SPACE(sizeof(int))];
  struct iovec part = {&data, 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  if (recvmsg(channel, &message, MSG_CMSG_CLOEXEC) <= 0) exit(0);
  int descriptor;
  memcpy(&descriptor, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof descriptor);
  return descriptor;
}

static void serve(int channel) {
  static const char answer[] =
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\nConnection: close\r\n\r\nHello, World!";
  char request[4096];
  for (;;) {
    int client = receive_descriptor(channel);
    if (send(channel, "a", 1, MSG_NOSIGNAL) != 1) exit(0);
    if (recv(client, request, sizeof request, 0) > 0) send(client, answer, sizeof answer - 1, MSG_NOSIGNAL);
    close(client);
  }
}

static void deal(void) {
  for (int tried = 0; waiting && tried < workers; tried++) {
    int worker = next_worker;
    next_worker = (next_worker + 1) % workers;
    if (unacknowledged[worker] >= 0) continue;
    unacknowledged[worker] = queue[first];
    first = (first + 1) % QUEUE;
    waiting--;
    send_descriptor(channels[worker], unacknowledged[worker]);
    tried = -1;
  }
}

static void acknowledged(int worker) {
  char data;
  if (recv(channels[worker], &data, 1, 0) != 1) fail("a worker is gone");
  close(unacknowledged[worker]);
  unacknowledged[worker] = -1;
}

static void take(int listener) {
  while (waiting < QUEUE) {
    int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0) return;
    queue[(first + waiting++) % QUEUE] = client;
    deal();
  }
}

static void fork_worker(int number) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0) fail("socketpair");
  pid_t pid = fork();
  if (pid < 0) fail("fork");
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int other = 0; other < number; other++) close(channels[other]);
    close(pair[0]);
    serve(pair[1]);
  }
  close(pair[1]);
  channels[number] = pair[0];
  unacknowledged[number] = -1;
}

static int listen_on(int port) {
  int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0) fail("bind");
  if (listen(listener, 2048) < 0) fail("listen");
  return listener;
}

int main(int count, char **arguments) {
  if (count != 3 || (workers = atoi(arguments[2])) < 1 || workers > MOST) {
    fprintf(stderr, "usage: floor PORT WORKERS\n");
    return 2;
  }
  for (int number = 0; number < workers; number++) fork_worker(number);
  int listener = listen_on(atoi(arguments[1])), poll = epoll_create1(EPOLL_CLOEXEC);
  for (int number = -1; number < workers; number++) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = number};
    epoll_ctl(poll, EPOLL_CTL_ADD, number < 0 ? listener : channels[number], &event);
  }
  for (;;) {
    struct epoll_event ready[MOST];
    int events = epoll_wait(poll, ready, MOST, -1);
    for (int index = 0; index < events; index++) {
      if (ready[index].data.fd < 0) {
        take(listener);
      } else {
        acknowledged(ready[index].data.fd);
        deal();
      }
    }
  }
}
