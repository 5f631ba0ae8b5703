// worker.kill() sends a signal and nothing else; its name may be small, and 0 kills (spec 1.3, 2.3).
if (cluster.isPrimary) {
  watch('exit', 'disconnect');
  const how = { 1: undefined, 2: 'SIGKILL', 3: 'sigint', 4: 0, 5: 'SIGUSR1' };
  for (const id of Object.keys(how)) watchWorker(cluster.fork());
  cluster.on('online', (w) => { if (w.id !== 5) w.kill(how[w.id]); else w.process.kill('SIGQUIT'); });
  attempt('unknown', () => cluster.workers[1].kill('SIGNOPE'));
} else setInterval(() => {}, 1000);
