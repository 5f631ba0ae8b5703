// A primary that exits takes its workers along: they end with 0 (spec 2.7).
if (cluster.isPrimary) { cluster.fork(); cluster.on('message', () => process.exit(4)); }
else { process.on('exit', (code) => trace('exit', code)); setInterval(() => {}, 1000); process.send('ready'); }
