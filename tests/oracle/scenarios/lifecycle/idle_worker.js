// A worker with nothing to do lives until it is told to go (spec 0.6).
if (cluster.isPrimary) { const w = cluster.fork(); setTimeout(() => { trace(...flags(w)); w.disconnect(); }, 500); watch('exit'); }
