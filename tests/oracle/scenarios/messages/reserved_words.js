// Node delivers no user message whose cmd begins with NODE_ (spec 4.3); we deliver every one (D12).
if (cluster.isPrimary) { const w = cluster.fork(); w.on('message', (m) => { trace(m); if (m === 'end') w.disconnect(); }); for (const m of [{ cmd: 'NODE_' }, { cmd: 'NODE_X' }, 'end']) w.send(m); }
else process.on('message', (m) => process.send(m));
