/* Share what choosing a worker needs: policies.c, client_keys.c, choosing.c, and the standby's files. */

#ifndef NODECLUSTER_POLICIES_H
#define NODECLUSTER_POLICIES_H

#include <stdint.h>
#include <sys/socket.h>

/* A worker that serves, as policies and the standby see it. */
typedef struct {
    long worker_id;
    int is_idle;
    long slot, handed, weight, credit; /* for those that compare them */
    const uint64_t *ended;             /* how many of those handed have ended: the worker counts */
    int channel;                       /* the rest is the standby's */
    int is_out;                        /* it gets no more before the dealer is back */
    int kept;                          /* connections that wait for it here */
    int64_t since;                     /* its last offer was seen to lie; 0: not yet */
} Member;

/* For whom somebody is to be chosen, and among whom. */
typedef struct {
    Member *members; /* in the order of the line: who has been idle for longest comes first */
    int count;
    uint64_t state; /* of the random numbers */
    int has_client;
    uint64_t client; /* the number of its network */
} Choice;

enum { NOBODY = -1 };

typedef struct {
    int (*choose)(const Choice *choice);           /* the place of a member, or NOBODY; nothing has changed then */
    void (*given)(Choice *choice, int chosen);     /* it has the connection; NULL: there is nothing to note */
    int counts;                                    /* it compares how many connections each has */
    int sees_all;                                  /* also who is not idle, and the slots */
    int names;                                     /* it may choose who is not idle: then the connection waits for that one */
} Policy;

enum { ROUND_ROBIN, LEAST_CONNECTIONS, RANDOM_OF_TWO, WEIGHTED, CLIENT_ADDRESS, POLICIES };

/* policies.c */
extern const Policy policies[POLICIES];

uint64_t mixed(uint64_t number);

/* client_keys.c */
int key_of_address(const struct sockaddr *address, int ipv4_prefix, int ipv6_prefix, uint64_t *key);
int key_of_text(const char *host, int ipv4_prefix, int ipv6_prefix, uint64_t *key);

#endif
