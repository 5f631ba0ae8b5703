// A worker that signals itself, and one in an endless loop (spec 2.3; upstream kill-infinite-loop).
if (cluster.isPrimary) {
  watch('exit', 'disconnect'); cluster.fork({ HOW: 'self' }); cluster.fork({ HOW: 'loop' });
  cluster.on('message', (w) => w.process.kill());
} else if (process.env.HOW === 'self') process.kill(process.pid, 'SIGABRT');
else process.send('looping', () => { while (true); });
