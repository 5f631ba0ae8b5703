/* Say whether an input has taken the C extension to where none before it has been.

   gcc calls __sanitizer_cov_trace_pc() at the begin of each block of what is compiled with -fsanitize-coverage=trace-pc.
   Two blocks in a row are an edge, and an edge is counted at a place of its own, or shares that by chance.  As AFL has it,
   how often an edge was taken matters by its order of magnitude.

   Loaded before libc, it says as well that who is at the other end of a pair of sockets has an address of the internet, and
   lets one socket take so many bytes and no more, however large the calls are. */

#define _GNU_SOURCE /* RTLD_NEXT, that has send() and sendmsg() of a sanitizer, or of libc */

#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PORT 4711

#define PLACES (1 << 16)

static uint8_t taken[PLACES], known[PLACES];
static uint32_t touched[PLACES]; /* the places of this input, so that the others need no look */
static uint32_t many;
static int fresh; /* places that no input before the last one has taken */
static __thread uintptr_t before;

void
__sanitizer_cov_trace_pc(void)
{
    uintptr_t here = (uintptr_t)__builtin_return_address(0) * 2654435761u >> 8;
    uint32_t place = (here ^ before) % PLACES;
    if (taken[place] == 0 && many < PLACES) {
        touched[many++] = place;
    }
    taken[place] += taken[place] < UINT8_MAX;
    before = here >> 1;
}

static uint8_t
order_of(uint8_t count)
{
    return count < 4 ? 1 << (count - 1) : count < 8 ? 8 : count < 16 ? 16 : count < 32 ? 32 : count < 128 ? 64 : 128;
}

/* Begin with an input. */
void
begin(void)
{
    for (uint32_t one = 0; one < many; one++) {
        taken[touched[one]] = 0;
    }
    many = 0;
    before = 0;
}

/* Return at how many places there is something new, and know it from now on. */
int
news(void)
{
    int found = 0;
    fresh = 0;
    for (uint32_t one = 0; one < many; one++) {
        uint32_t place = touched[one];
        uint8_t order = taken[place] == 0 ? 0 : order_of(taken[place]);
        found += (order & ~known[place]) != 0;
        fresh += known[place] == 0;
        known[place] |= order;
    }
    return found;
}

/* Return how many of those that news() has found last are edges that none had taken. */
int
new_edges(void)
{
    return fresh;
}

/* Return how many places are known. */
int
edges(void)
{
    int count = 0;
    for (int place = 0; place < PLACES; place++) {
        count += known[place] != 0;
    }
    return count;
}

/* --- pairs of sockets -------------------------------------------------------------------------- */

static int
is_of_a_pair(const struct sockaddr *address, socklen_t size)
{
    return size == sizeof address->sa_family && address->sa_family == AF_UNIX;
}

static int
was_reset(int fd)
{
    struct pollfd one = {fd, 0, 0};
    return poll(&one, 1, 0) == 1 && (one.revents & POLLERR) != 0;
}

/* As that of libc; C serves a client of a pair as one of TCP then, which costs less, and uses no port for a minute. */
int
getpeername(int fd, struct sockaddr *address, socklen_t *size)
{
    const struct sockaddr_in pretended = {AF_INET, htons(PORT), {htonl(INADDR_LOOPBACK)}, {0}};
    socklen_t room = *size;
    int result = (int)syscall(SYS_getpeername, fd, address, size);
    if (result == 0 && room >= sizeof pretended && is_of_a_pair(address, *size)) {
        if (was_reset(fd)) {
            errno = ENOTCONN;
            return -1;
        }
        memcpy(address, &pretended, sizeof pretended);
        *size = sizeof pretended;
    }
    return result;
}

/* --- a socket that takes so many bytes --------------------------------------------------------- */

/* What a socket of Linux takes depends on the sizes of the calls, and these are not the same in C and in Python. */

#define MOST_PARTS 1024 /* as IOV_MAX */

static int limited = -1, receiving; /* the descriptors of a pair */
static size_t most_unread;

/* Let a socket take so many bytes more than its receiver has read; -1: none is limited. */
void
limit_unread(int fd, int receiver, size_t most)
{
    limited = fd;
    receiving = receiver;
    most_unread = most;
}

static size_t
room_now(void)
{
    int unread = 0;
    ioctl(receiving, FIONREAD, &unread);
    return most_unread > (size_t)unread ? most_unread - (size_t)unread : 0;
}

/* Leave out what is behind so many bytes. */
static void
shorten(struct msghdr *message, size_t room)
{
    for (size_t number = 0; number < message->msg_iovlen; number++) {
        struct iovec *part = &message->msg_iov[number];
        part->iov_len = part->iov_len < room ? part->iov_len : room;
        room -= part->iov_len;
    }
}

static ssize_t
send_on(int fd, const struct msghdr *message, int flags)
{
    static ssize_t (*onward)(int, const struct msghdr *, int);
    if (onward == NULL) {
        onward = (ssize_t (*)(int, const struct msghdr *, int))dlsym(RTLD_NEXT, "sendmsg");
    }
    return onward(fd, message, flags);
}

/* As that of libc. */
ssize_t
sendmsg(int fd, const struct msghdr *message, int flags)
{
    if (fd != limited || message->msg_iovlen > MOST_PARTS) {
        return send_on(fd, message, flags);
    }
    size_t room = room_now();
    if (room == 0) {
        errno = EAGAIN;
        return -1;
    }
    struct iovec parts[MOST_PARTS];
    struct msghdr shorter = *message;
    memcpy(parts, message->msg_iov, message->msg_iovlen * sizeof *parts);
    shorter.msg_iov = parts;
    shorten(&shorter, room);
    return send_on(fd, &shorter, flags);
}

/* Likewise. */
ssize_t
send(int fd, const void *bytes, size_t size, int flags)
{
    struct iovec part = {(void *)bytes, size};
    const struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    return sendmsg(fd, &message, flags);
}
