/* Note in Python's ledger what the standby has dealt.

   Each connection is noted as if the dealer had dealt it, in the same order; then those that the standby has kept.  A worker
   that was given another has taken its last.  Whether it has taken that one, the kernel reports as usual: an edge that has
   passed meanwhile is reported to the next who asks, if the channel is writable then. */

#include "standby.h"

#include <unistd.h>

static int
note_one(Accepting *accepting, Dealt *dealt)
{
    PyObject *peer = address_of(&dealt->address, dealt->size), *target = PyLong_FromLong(0);
    PyObject *worker_id = PyLong_FromLong(dealt->worker_id);
    int result = -1, fd = dealt->fd;
    dealt->fd = -1;
    if (peer == NULL || target == NULL || worker_id == NULL) {
        if (fd >= 0) {
            close(fd);
        }
    }
    else if (fd >= 0) {
        result = deal_accepted(accepting, fd, peer, target);
    }
    else {
        const Place place = {-1, peer, target, NULL, NULL};
        result = note_given(accepting, worker_id, &place);
    }
    Py_XDECREF(peer);
    Py_XDECREF(target);
    Py_XDECREF(worker_id);
    return result < 0 ? -1 : 0;
}

static int
has_given(Plans *plans, int plan)
{
    for (int number = 0; number < plans->dealt_count; number++) {
        if (plans->dealt[number].plan == plan && plans->dealt[number].worker_id != 0) {
            return 1;
        }
    }
    return 0;
}

/* Let the policy go on where a plan has left off. */
static int
note_choices(Accepting *accepting, Plans *plans, int number)
{
    Table table;
    Plan *plan = &plans->of[number];
    int result = plan->policy->given == NULL || !has_given(plans, number) ? 0 : look_at(accepting, &table);
    return result > 0 && table.policy == plan->policy ? write_choice(dealings_of(accepting), &table, &plan->choice) : result;
}

typedef struct {
    PyObject *type, *value, *traceback;
} Raised;

/* Keep the first exception. */
static void
keep_first(Raised *first)
{
    if (first->type == NULL) {
        PyErr_Fetch(&first->type, &first->value, &first->traceback);
    }
    PyErr_Clear();
}

/* Note what was given away, or what was kept. */
static void
note_all(Accepting **accepting, Plans *plans, int is_kept, Raised *first)
{
    for (int number = 0; number < plans->dealt_count; number++) {
        Dealt *dealt = &plans->dealt[number];
        if ((dealt->worker_id == 0) == is_kept && note_one(accepting[dealt->plan], dealt) < 0) {
            keep_first(first);
        }
    }
}

/* Note all of it, even if one fails: whatever is noted, is so.  The first exception is raised. */
int
note_dealt(Plans *plans, Accepting **accepting)
{
    Raised first = {NULL, NULL, NULL};
    for (int plan = 0; plan < plans->count; plan++) {
        if (note_choices(accepting[plan], plans, plan) < 0) {
            keep_first(&first);
        }
    }
    note_all(accepting, plans, 0, &first);
    note_all(accepting, plans, 1, &first);
    plans->dealt_count = 0;
    if (first.type != NULL) {
        PyErr_Restore(first.type, first.value, first.traceback);
    }
    return first.type == NULL ? 0 : -1;
}

/* Close what was accepted, and kept for a dealer that is gone. */
void
close_kept(Plans *plans)
{
    for (int number = 0; number < plans->dealt_count; number++) {
        if (plans->dealt[number].fd >= 0) {
            close(plans->dealt[number].fd);
        }
    }
    plans->dealt_count = 0;
}

/* Have no plans any more. */
void
forget_plans(Plans *plans, Accepting **accepting)
{
    plans->count = 0;
    for (int plan = 0; plan < MOST_LISTENERS; plan++) {
        Py_CLEAR(accepting[plan]);
    }
}
