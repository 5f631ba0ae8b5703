// Paths that cannot be: a folder that is not there, a file that is (spec 3.3).
if (cluster.isPrimary) { cluster.fork(); let n = 0; cluster.on('message', (w, m) => { trace(m); if (++n === 2) w.disconnect(); }); }
else for (const path of ['/tmp/nowhere/at/all.sock', __filename]) net.createServer().on('error', (e) => process.send(e.code + ' ' + e.syscall)).listen(path);
