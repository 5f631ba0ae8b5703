// After the disconnect what the worker still does keeps its process alive (spec 2.5; upstream worker-no-exit).
if (cluster.isPrimary) {
  watch('disconnect', 'exit'); cluster.fork(); cluster.on('online', (w) => w.disconnect());
} else process.on('disconnect', () => { trace('disconnect'); setTimeout(() => { trace('done'); process.exitCode = 3; }, 200); });
