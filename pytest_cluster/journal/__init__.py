"""Tell what happened in a cluster: the journal, waits and expectations."""
