// close() before the primary has answered: no listening, and the callback hears an error (spec 3.4).
if (cluster.isPrimary) { watch('listening'); cluster.fork(); cluster.on('message', (w, m) => { trace(m); setTimeout(() => w.disconnect(), 100); }); watch('exit'); }
else net.createServer().listen(0, '127.0.0.1', () => trace('never')).close((e) => process.send(Boolean(e)));
