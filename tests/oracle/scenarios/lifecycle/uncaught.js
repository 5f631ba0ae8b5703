// An uncaught exception ends a worker with 1, at the top level and in a handler (spec 2.3).
if (cluster.isPrimary) {
  watch('exit', 'disconnect');
  cluster.fork({ HOW: 'top' }); cluster.fork({ HOW: 'message' }); cluster.fork({ HOW: 'timer' });
  cluster.on('online', (w) => w.send('go'));
} else if (process.env.HOW === 'top') throw new Error('top');
else if (process.env.HOW === 'message') process.on('message', () => { throw new Error('message'); });
else process.on('message', () => setTimeout(() => { throw new Error('timer'); }, 10));
