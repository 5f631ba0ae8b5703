"""Set until the first fork, to 1 or 2; the variable takes two words (spec 3.7). ENV NODE_CLUSTER_SCHED_POLICY=RR"""

from prelude import attempt, cluster, trace

trace(cluster.scheduling_policy)
cluster.scheduling_policy = 3
attempt("bad", cluster.setup_primary)
cluster.scheduling_policy = 1
attempt("good", cluster.setup_primary)
cluster.scheduling_policy = 2
trace(cluster.scheduling_policy)
