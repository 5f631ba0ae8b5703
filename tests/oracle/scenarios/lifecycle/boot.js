// From fork() to listening and through a disconnect: every event and every flag (spec 2.1, 2.3).
if (cluster.isPrimary) {
  watch(); cluster.on('setup', () => trace('setup'));
  const w = watchWorker(cluster.fork());
  trace('forked', ...flags(w));
  cluster.on('listening', () => { trace('same', w.disconnect() === w); traceAs('P1', 'asked', ...flags(w)); });
} else {
  trace('born', cluster.worker.state, cluster.worker.exitedAfterDisconnect, cluster.worker.isDead(), cluster.worker.isConnected());
  net.createServer().listen(0, '127.0.0.1', () => trace('callback', cluster.worker.state));
}
