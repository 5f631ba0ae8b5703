// A message of several megabytes arrives whole, both ways (spec 4.1).
if (cluster.isPrimary) { const w = cluster.fork(); w.send('x'.repeat(5000000)); w.on('message', (m) => { trace(m.length); w.disconnect(); }); }
else process.on('message', (m) => process.send(m + 'y'));
