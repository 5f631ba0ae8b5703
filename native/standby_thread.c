/* Watch the dealer, and deal while it does not: the thread of the standby, which knows nothing of Python.

       asleep ──the dealer returns from its wait──▶ alerted ──a moment──▶ look ──▶ it waits again: asleep
                                                        ▲                  ├────▶ it is at another place ─┐
                                                        └──────────────────┼──────────────────────────────┘
                                                                           └────▶ at the same: deal

   standby.c has the theory, and what the dealer does about it with the interpreter's lock. */

#define _GNU_SOURCE

#include "standby.h"

#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define MOMENT 1000000 /* nanoseconds */
#define STACK_BYTES (256 * 1024)
#define MOST_LOOKS 10000

/* --- when it is time to deal ------------------------------------------------------------------- */

static void
set_timer(Standby *self, long nanoseconds)
{
    const struct itimerspec time = {.it_value = {.tv_nsec = nanoseconds}};
    timerfd_settime(self->timer, 0, &time, NULL);
}

/* See to it that the thread looks, if the dealer does not come back. */
void
alert_standby(Standby *self)
{
    if (!atomic_load(&self->is_set) && !atomic_exchange(&self->is_set, 1)) {
        atomic_store(&self->seen, atomic_load(&self->number));
        pthread_mutex_lock(&self->gate); /* on which the timer is closed, whoever waits or deals then */
        set_timer(self, MOMENT);
        pthread_mutex_unlock(&self->gate);
    }
}

/* The dealer begins to wait for connections; return whether it may: not while something that was dealt is to be noted. */
int
dealer_waits(PyObject *standby)
{
    Standby *self = (Standby *)standby;
    pthread_mutex_lock(&self->gate);
    atomic_store(&self->is_away, 0);
    int has_dealt = has_snapshot(atomic_load(&self->number)) && self->plans.dealt_count > 0;
    pthread_mutex_unlock(&self->gate);
    return !has_dealt;
}

/* It has something to do, and is to get the interpreter's lock. */
void
dealer_returns(PyObject *standby)
{
    Standby *self = (Standby *)standby;
    atomic_store(&self->is_away, 1);
    if (has_snapshot(atomic_load(&self->number))) {
        alert_standby(self);
    }
}

/* --- dealing ----------------------------------------------------------------------------------- */

/* Deal one connection, or find out what to wait for. */
static Done
deal_at_gate(Standby *self, unsigned number, Wait *wait)
{
    pthread_mutex_lock(&self->gate);
    int is_its_turn = atomic_load(&self->number) == number && atomic_load(&self->is_away);
    Done done = is_its_turn ? deal_next(&self->plans, wait) : IS_OVER;
    pthread_mutex_unlock(&self->gate);
    return done;
}

/* Deal until the dealer is back. */
static void
deal_meanwhile(Standby *self, unsigned number)
{
    Wait wait;
    while (!atomic_load(&self->is_stopping) && !atomic_load(&self->is_wanted)) {
        Done done = deal_at_gate(self, number, &wait);
        if (done == IS_OVER) {
            return;
        }
        if (done == IS_TO_WAIT) {
            wait.seen[wait.count++] = (struct pollfd){.fd = self->timer, .events = POLLIN}; /* stop() sets it */
            poll(wait.seen, wait.count, wait.milliseconds);
        }
    }
}

/* --- looking ----------------------------------------------------------------------------------- */

/* The dealer waits for connections: sleep until it returns. */
static void
rest(Standby *self)
{
    atomic_store(&self->is_set, 0);
    if (atomic_load(&self->is_away)) {
        alert_standby(self);
    }
}

/* Look where the dealer is. */
static void
look(Standby *self)
{
    unsigned number = atomic_load(&self->number);
    if (!atomic_load(&self->is_away)) {
        rest(self);
        return;
    }
    if (has_snapshot(number) && atomic_exchange(&self->seen, number) == number) {
        deal_meanwhile(self, number);
    }
    atomic_store(&self->seen, atomic_load(&self->number));
    set_timer(self, MOMENT);
}

/* --- its life ---------------------------------------------------------------------------------- */

static void *
run(void *argument)
{
    Standby *self = argument;
    atomic_store(&self->native_id, (int)syscall(SYS_gettid));
    pthread_setname_np(pthread_self(), "dealer-standby");
    while (!atomic_load(&self->is_stopping)) {
        uint64_t times;
        if (read(self->timer, &times, sizeof times) == sizeof times && !atomic_load(&self->is_stopping)) {
            look(self);
        }
    }
    return NULL;
}

/* Begin it, with all signals blocked: they are the main thread's. */
int
begin_thread(Standby *self)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    if (pthread_attr_init(&attributes) != 0) {
        return -1;
    }
    sigfillset(&all);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int error = pthread_create(&self->thread, &attributes, run, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error == 0 ? 0 : -1;
}

/* Wait until the kernel has seen the thread gone: a fork that counts threads is to find none. */
static void
wait_for_the_end(Standby *self)
{
    pthread_join(self->thread, NULL);
    for (int look = 0; look < MOST_LOOKS; look++) {
        if (syscall(SYS_tgkill, getpid(), atomic_load(&self->native_id), 0) < 0) {
            return;
        }
        sched_yield();
    }
}

/* End it: it is told to stop, and has no more to do with the interpreter than before. */
void
end_thread(Standby *self)
{
    set_timer(self, 1);
    wait_for_the_end(self);
}
