// A worker that cannot be started: error, fork, disconnect, and no exit (spec 2.10).
if (cluster.isPrimary) {
  watch(); cluster.setupPrimary({ cwd: '/nowhere/at/all' });
  const w = cluster.fork(); traceAs('P1', 'forked', ...flags(w), w.process.pid);
  w.on('error', (e) => traceAs('P1', 'error', e.code, ...flags(w), w.process.exitCode < 0));
  w.on('disconnect', () => traceAs('P1', 'disconnect', ...flags(w)));
}
