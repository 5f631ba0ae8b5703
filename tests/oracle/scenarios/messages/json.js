// What JSON makes of values, there and back (spec 4.4).
const values = [null, true, 0, 1.5, -3, 'text', '', 'ünï', [], [1, [2]], {}, { a: { b: null } }, NaN, [Infinity]];
if (cluster.isPrimary) { const w = cluster.fork(); let n = 0; w.on('message', (m) => { trace(JSON.stringify(m)); if (++n === values.length) w.disconnect(); }); values.forEach((v) => w.send(v)); }
else process.on('message', (m) => process.send(m));
