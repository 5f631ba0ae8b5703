/* Deal a connection by the plans of the snapshot, without Python: what the standby does (standby.c).

   The listeners are asked in turn.  A worker that one of them has given a connection is busy for all, since it has one
   channel.

   Round robin: the members are in the order of their turns, and one that was given a connection goes to the end.  The
   standby waits a moment for a member that has not taken its last connection, and then passes it over until it has: it
   computes, or sleeps.  A member that has said something gets nothing, since it may have said that it takes no more: the
   dealer reads it.  Any other policy (policies.c) chooses among the members that have taken their last, and waits for none.

   A client is accepted when a worker can have it; otherwise it waits in the backlog.  If the kernel then refuses to hand it
   over, it is kept for the dealer, and nothing more is dealt.  If clients have workers of their own, they are accepted as
   they come: one whose worker is busy is kept, and so are those that come for the same worker after it. */

#define _GNU_SOURCE /* accept4 */

#include "standby.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 2000000 /* nanoseconds */
#define SOON 1           /* milliseconds */
#define LATER 20

enum { IS_LATE = -2, IS_KEPT = -3 };

static int64_t
now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* See who is there, and who can take. */
static int
look_around(Plan *plan, struct pollfd *seen)
{
    seen[0] = (struct pollfd){.fd = plan->listening, .events = POLLIN};
    for (int place = 0; place < plan->choice.count; place++) {
        seen[1 + place] = (struct pollfd){.fd = plan->members[place].channel, .events = POLLIN | POLLOUT};
    }
    return poll(seen, (nfds_t)plan->choice.count + 1, 0);
}

/* See who is idle: who has room, and nothing to say. */
static void
note_idle(Plan *plan, const struct pollfd *seen)
{
    for (int place = 0; place < plan->choice.count; place++) {
        Member *member = &plan->members[place];
        member->is_out = member->is_out || (seen[place].revents & ~POLLOUT);
        member->is_idle = !member->is_out && (seen[place].revents & POLLOUT);
    }
}

/* Return whose turn it is; IS_LATE: it is that of one that may take its last in this moment. */
static int
choose_in_turn(Plan *plan)
{
    for (int place = 0; place < plan->choice.count; place++) {
        Member *member = &plan->members[place];
        if (member->is_idle) {
            return place;
        }
        if (member->is_out) {
            continue;
        }
        int64_t moment = now(); /* asked once: at first sight nobody is passed over */
        member->since = member->since == 0 ? moment : member->since;
        if (moment - member->since < PATIENCE) {
            return IS_LATE;
        }
    }
    return NOBODY;
}

/* Return who is to have a connection: as above, or with another policy NOBODY, or one that need not be idle. */
static int
choose(Plan *plan, const struct pollfd *seen)
{
    note_idle(plan, seen);
    return plan->policy == &policies[ROUND_ROBIN] ? choose_in_turn(plan) : plan->policy->choose(&plan->choice);
}

static void
go_to_the_end(Plan *plan, int place)
{
    Member member = plan->members[place];
    member.since = 0;
    for (; place + 1 < plan->choice.count; place++) {
        plan->members[place] = plan->members[place + 1];
    }
    plan->members[place] = member;
}

/* Note that a worker has it. */
static long
count_given(Plan *plan, int place)
{
    long worker_id = plan->members[place].worker_id;
    if (plan->policy->given != NULL) {
        plan->policy->given(&plan->choice, place);
    }
    plan->members[place].handed++;
    go_to_the_end(plan, place);
    return worker_id;
}

/* Give a connection to whom it is due, or to the next who can have it; 0: to nobody, IS_KEPT: it waits for its worker. */
static long
give(Plan *plan, const struct pollfd *seen, int fd)
{
    for (int place; (place = choose(plan, seen)) >= 0;) {
        Member *member = &plan->members[place];
        if (!member->is_idle || member->kept > 0) {
            return ++member->kept > plan->most_kept ? 0 : IS_KEPT;
        }
        if (send_descriptor(member->channel, plan->packet, plan->packet_size, fd)) {
            return count_given(plan, place);
        }
        member->is_out = 1;
    }
    return 0;
}

/* Learn whose client it is, where that counts. */
static void
look_at_client(Plan *plan, const SocketAddress *address)
{
    Choice *choice = &plan->choice;
    choice->has_client = plan->names
                         && key_of_address(&address->any, plan->ipv4_prefix, plan->ipv6_prefix, &choice->client);
}

/* It has had its turn at another listener. */
static void
note_turn(Plan *plan, long worker_id)
{
    for (int place = 0; place < plan->choice.count; place++) {
        if (plan->members[place].worker_id == worker_id) {
            plan->members[place].handed++;
            go_to_the_end(plan, place);
            return;
        }
    }
}

static void
tell_others(Plans *plans, const Plan *plan, long worker_id)
{
    for (Plan *other = plans->of; other < plans->of + plans->count; other++) {
        if (other != plan) {
            note_turn(other, worker_id);
        }
    }
}

/* Accept a connection, and give it away. */
static void
accept_next(Plans *plans, Plan *plan, const struct pollfd *seen)
{
    Dealt *dealt = &plans->dealt[plans->dealt_count];
    dealt->plan = (int)(plan - plans->of);
    dealt->size = sizeof dealt->address;
    int fd = accept4(plan->listening, &dealt->address.any, &dealt->size, SOCK_CLOEXEC);
    if (fd < 0) {
        plan->is_over = errno != EAGAIN && errno != ECONNABORTED && errno != EINTR;
        return;
    }
    look_at_client(plan, &dealt->address);
    long given = give(plan, seen, fd);
    dealt->worker_id = given > 0 ? given : 0;
    dealt->fd = given > 0 ? -1 : fd;
    plans->dealt_count++;
    plan->is_over = given == 0;
    if (given > 0) {
        tell_others(plans, plan, given);
        close(fd);
    }
}

/* Say what to wait for besides: a client, or whoever has not taken its last. */
static void
say(Plan *plan, Wait *wait, int chosen)
{
    wait->milliseconds = chosen == IS_LATE ? SOON : wait->milliseconds;
    if (chosen >= 0) {
        wait->seen[wait->count++] = (struct pollfd){.fd = plan->listening, .events = POLLIN};
        return;
    }
    for (int place = 0; place < plan->choice.count; place++) {
        if (!plan->members[place].is_out) {
            wait->seen[wait->count++] = (struct pollfd){.fd = plan->members[place].channel, .events = POLLOUT};
        }
    }
}

/* Deal one connection of a listener, or say what to wait for. */
static Done
deal_by(Plans *plans, Plan *plan, Wait *wait)
{
    struct pollfd seen[1 + MOST_MEMBERS];
    if (plan->is_over || look_around(plan, seen) < 0 || (seen[0].revents & ~POLLIN)) {
        return IS_OVER;
    }
    int has_client = seen[0].revents & POLLIN, chosen = has_client && !plan->names ? choose(plan, seen + 1) : 0;
    if (has_client && chosen >= 0) {
        accept_next(plans, plan, seen + 1);
        return HAS_DEALT;
    }
    say(plan, wait, chosen);
    return IS_TO_WAIT;
}

/* Deal one connection, or say what to wait for. */
Done
deal_next(Plans *plans, Wait *wait)
{
    Done done = IS_OVER;
    *wait = (Wait){.count = 0, .milliseconds = LATER};
    for (int asked = 0; asked < plans->count && plans->dealt_count < MOST_DEALT; asked++) {
        int number = (plans->next + asked) % plans->count;
        Done its = deal_by(plans, &plans->of[number], wait);
        if (its == HAS_DEALT) {
            plans->next = number + 1;
            return its;
        }
        done = its == IS_TO_WAIT ? its : done;
    }
    return done;
}
