// A worker that handles a signal decides what becomes of it (spec 2.3).
if (cluster.isPrimary) { watch('exit'); cluster.fork(); cluster.on('message', (w) => w.kill()); }
else { process.on('SIGTERM', () => process.exit(33)); process.send('ready'); }
