/* Choose the worker for each connection; twins of connections/policies, which have the theory of each.

   A policy is two functions: `choose` names the worker that is to have a connection, and changes nothing; `given` notes that
   the worker has it.  So if the connection cannot be handed over nothing has changed, and the next choice, here or in the
   twin, is made from the same state.

   No Python here: the dealer fills a Choice from its objects for each connection (choosing.c), the standby once
   (standby_snapshot.c).  The numbers that a worker counts are read where it counts them, so they are right in both. */

#include "policies.h"

#include <stddef.h>

#define STEP 0x9E3779B97F4A7C15u
#define MOST_ROUNDS 4 /* of credit, that one who was busy catches up */

/* --- numbers, as base/mixing.py makes them --------------------------------------------------------- */

uint64_t
mixed(uint64_t number)
{
    number = (number ^ (number >> 30)) * 0xBF58476D1CE4E5B9u;
    number = (number ^ (number >> 27)) * 0x94D049BB133111EBu;
    return number ^ (number >> 31);
}

/* Draw a whole number from 0 to below `count`. */
static int
below(uint64_t state, int count)
{
    uint64_t number = mixed(state), factor = (uint64_t)count;
    return (int)(((number >> 32) * factor + (((number & UINT32_MAX) * factor) >> 32)) >> 32);
}

/* --- round robin ------------------------------------------------------------------------------------ */

static int
next_idle(const Choice *choice, int place)
{
    for (; place < choice->count; place++) {
        if (choice->members[place].is_idle) {
            return place;
        }
    }
    return NOBODY;
}

static int
first(const Choice *choice)
{
    return next_idle(choice, 0);
}

/* --- least connections ------------------------------------------------------------------------------ */

static uint64_t
connections(const Member *member)
{
    uint64_t ended = __atomic_load_n(member->ended, __ATOMIC_RELAXED), handed = (uint64_t)member->handed;
    return member->handed > 0 && handed > ended ? handed - ended : 0;
}

static int
least_connections(const Choice *choice)
{
    int chosen = first(choice);
    for (int place = chosen; place >= 0; place = next_idle(choice, place + 1)) {
        if (connections(&choice->members[place]) < connections(&choice->members[chosen])) {
            chosen = place;
        }
    }
    return chosen;
}

/* --- random of two ---------------------------------------------------------------------------------- */

static int
count_idle(const Choice *choice)
{
    int count = 0;
    for (int place = first(choice); place >= 0; place = next_idle(choice, place + 1)) {
        count++;
    }
    return count;
}

/* Return the place of the idle worker that has so many before it. */
static int
idle_behind(const Choice *choice, int others)
{
    int place = first(choice);
    for (; others > 0; others--) {
        place = next_idle(choice, place + 1);
    }
    return place;
}

static int
random_of_two(const Choice *choice)
{
    int count = count_idle(choice);
    if (count == 0) {
        return NOBODY;
    }
    int one = below(choice->state + STEP, count);
    if (count == 1) {
        return idle_behind(choice, one);
    }
    int other = below(choice->state + 2 * STEP, count - 1);
    other += other >= one; /* any but the first */
    int chosen = idle_behind(choice, one), second = idle_behind(choice, other);
    return connections(&choice->members[second]) < connections(&choice->members[chosen]) ? second : chosen;
}

static void
step(Choice *choice, int chosen)
{
    choice->state += count_idle(choice) == 1 ? STEP : 2 * STEP;
}

/* --- weighted --------------------------------------------------------------------------------------- */

static long
total_weight(const Choice *choice)
{
    long total = 0;
    for (int place = 0; place < choice->count; place++) {
        total += choice->members[place].weight;
    }
    return total;
}

static long
next_credit(const Member *member, long total)
{
    long credit = member->credit + member->weight, most = MOST_ROUNDS * total;
    return credit < most ? credit : most;
}

static int
weighted(const Choice *choice)
{
    long total = total_weight(choice);
    int chosen = NOBODY;
    for (int place = first(choice); place >= 0; place = next_idle(choice, place + 1)) {
        const Member *member = &choice->members[place];
        if (member->weight == 0 && total != 0) {
            continue; /* a reserve, while others serve */
        }
        if (chosen < 0 || next_credit(member, total) > next_credit(&choice->members[chosen], total)) {
            chosen = place;
        }
    }
    return chosen;
}

static void
move_credit(Choice *choice, int chosen)
{
    long total = total_weight(choice), least = -MOST_ROUNDS * total;
    for (int place = 0; place < choice->count; place++) {
        choice->members[place].credit = next_credit(&choice->members[place], total);
    }
    long left = choice->members[chosen].credit - total;
    choice->members[chosen].credit = left > least ? left : least;
}

/* --- by the client's address ------------------------------------------------------------------------ */

/* Whether a network belongs rather to one worker than to another; of two in one slot it is the younger's. */
static int
is_rather(const Choice *choice, const Member *one, const Member *other)
{
    if (one->slot == other->slot) {
        return one->worker_id > other->worker_id;
    }
    return mixed(choice->client + STEP * (uint64_t)one->slot) > mixed(choice->client + STEP * (uint64_t)other->slot);
}

static int
by_address(const Choice *choice)
{
    if (!choice->has_client) {
        return first(choice);
    }
    int chosen = choice->count > 0 ? 0 : NOBODY;
    for (int place = 1; place < choice->count; place++) {
        if (is_rather(choice, &choice->members[place], &choice->members[chosen])) {
            chosen = place;
        }
    }
    return chosen;
}

/* --- all of them ------------------------------------------------------------------------------------ */

const Policy policies[POLICIES] = {
    [ROUND_ROBIN] = {first, NULL, 0, 0, 0},
    [LEAST_CONNECTIONS] = {least_connections, NULL, 1, 0, 0},
    [RANDOM_OF_TWO] = {random_of_two, step, 1, 0, 0},
    [WEIGHTED] = {weighted, move_credit, 0, 1, 0},
    [CLIENT_ADDRESS] = {by_address, NULL, 0, 1, 1},
};
