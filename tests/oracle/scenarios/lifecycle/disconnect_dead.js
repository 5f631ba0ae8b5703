// disconnect() on a dead worker is safe, and flips its flag (spec 1.3).
if (cluster.isPrimary) {
  const w = cluster.fork();
  w.on('exit', () => { trace(...flags(w)); w.disconnect(); trace(...flags(w)); trace(w.kill() === undefined); });
} else process.exit(3);
