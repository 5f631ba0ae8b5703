// What exists on which side (spec 1.1, 1.2).
const has = (name) => typeof cluster[name] !== 'undefined';
const names = ['fork', 'disconnect', 'setupPrimary', 'setupMaster', 'workers', 'settings', 'schedulingPolicy', 'SCHED_RR', 'worker', 'Worker', 'isPrimary', 'isMaster', 'isWorker'];
trace(names.map(has).map(Number).join(''));
if (cluster.isPrimary) { const w = cluster.fork(); watch('exit'); w.on('online', () => w.disconnect()); }
else trace(cluster.worker.id, cluster.worker.process === process, cluster.isPrimary, cluster.isWorker);
