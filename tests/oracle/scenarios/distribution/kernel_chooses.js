// SCHED_NONE: each worker accepts by itself; events are the same (spec 3.5). ENV NODE_CLUSTER_SCHED_POLICY=none
if (cluster.isPrimary) {
  watch(); trace(cluster.schedulingPolicy === cluster.SCHED_NONE);
  const w = watchWorker(cluster.fork());
  cluster.on('listening', (_, a) => ask({ port: a.port, host: '127.0.0.1' }, (text) => { traceAs('P1', text); w.disconnect(); }));
} else net.createServer((c) => c.end('served')).listen(0, '127.0.0.1');
