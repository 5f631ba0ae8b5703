// A server that is closed in its own listening callback was never listening for the primary (spec 2.1).
if (cluster.isPrimary) { watch(); watchWorker(cluster.fork()); cluster.on('message', (w) => w.disconnect()); }
else { const s = net.createServer(); s.listen(0, '127.0.0.1', () => s.close(() => { trace('closed', cluster.worker.state); process.send('x'); })); }
