// A further entry of stdio is a pipe of its own (spec 5.2; upstream fork-stdio).
if (cluster.isPrimary) {
  cluster.setupPrimary({ stdio: ['inherit', 'inherit', 'inherit', 'ipc', 'pipe'] });
  const w = cluster.fork(); w.process.stdio[4].on('data', (d) => trace(String(d).trim())); watch('exit');
} else { require('fs').writeSync(4, 'over there\n'); process.exit(0); }
