// What is sent right after fork() is there for a listener that the script adds at once (spec 4.1).
if (cluster.isPrimary) { const w = cluster.fork(); trace('returns', w.send('early')); w.on('message', (m) => { trace(m); w.disconnect(); }); }
else process.on('message', (m) => process.send(m + ' back'));
