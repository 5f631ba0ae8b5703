// cluster.Worker can be made by hand (spec 1.5).
const seen = (w) => trace(w.id, w.state, w.exitedAfterDisconnect, w.process === undefined);
seen(new cluster.Worker()); seen(new cluster.Worker({ id: '7', state: 'online' })); seen(new cluster.Worker({ id: 5.7 })); seen(cluster.Worker({ id: 3 }));
