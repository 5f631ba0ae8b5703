// With no workers the callback comes on a later turn, and the cluster stays usable (spec 1.1, 2.9).
if (cluster.isPrimary) {
  cluster.disconnect(() => {
    trace('callback');
    const w = cluster.fork(); w.on('online', () => cluster.disconnect(() => trace('again', Object.keys(cluster.workers).length)));
    w.on('exit', () => trace('exit', w.id));
  });
  trace('after');
}
