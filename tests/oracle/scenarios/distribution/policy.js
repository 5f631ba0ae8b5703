// Set until the first fork, to 1 or 2; the variable takes two words (spec 3.7). ENV NODE_CLUSTER_SCHED_POLICY=RR
trace(cluster.schedulingPolicy); cluster.schedulingPolicy = 3; attempt('bad', () => cluster.setupPrimary());
cluster.schedulingPolicy = 1; attempt('good', () => cluster.setupPrimary()); cluster.schedulingPolicy = 2; trace(cluster.schedulingPolicy);
