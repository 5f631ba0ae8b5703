// What cannot be raises where fork() is called, and the id is gone (spec 5.3).
const bad = [{ stdio: ['pipe'] }, { stdio: 'what' }, { serialization: 'xml' }, { args: 'text' }, { uid: 'root' }, { exec: undefined }];
if (cluster.isPrimary) {
  for (const s of bad) { cluster.setupPrimary({ stdio: undefined, serialization: undefined, args: [], uid: undefined, ...s }); attempt(Object.keys(s)[0], () => cluster.fork()); }
  cluster.setupPrimary({ exec: __filename });
  const w = cluster.fork(); trace(w.id, Object.keys(cluster.workers).join()); watch('exit'); cluster.on('online', (x) => x.disconnect());
}
