// recluster 1.0.0 by spion, MIT (LICENSES.md). Not changed.
exports.removeFrom = removeFrom;

function removeFrom(list, item) {
    var index = list.indexOf(item)
    if (index >= 0) list.splice(index, 1)
}

