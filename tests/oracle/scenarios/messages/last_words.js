// What is sent right before the exit arrives, up to what the channel holds (spec 4.1).
if (cluster.isPrimary) { cluster.fork(); cluster.on('message', (w, m) => trace(m.length)); watch('exit'); }
else { process.send('x'.repeat(100)); process.send('x'.repeat(100000)); process.exit(2); }
