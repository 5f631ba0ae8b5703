// process.exitCode counts when the worker ends by itself, and makes isDead() true inside (spec 1.4, 2.3).
if (cluster.isPrimary) { watch('exit'); cluster.fork(); cluster.on('online', (w) => w.disconnect()); }
else { trace(cluster.worker.isDead()); process.exitCode = 5; trace(cluster.worker.isDead()); }
