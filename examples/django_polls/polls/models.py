"""What can be voted for."""

from __future__ import annotations

from django.db import models
from django.db.models import F


class Choice(models.Model):
    """One answer and its votes."""

    text = models.CharField(max_length=100)
    votes = models.PositiveIntegerField(default=0)

    def add_vote(self) -> None:
        """Let the database add: ``self.votes += 1; self.save()`` would lose a vote of another worker's."""
        type(self).objects.filter(pk=self.pk).update(votes=F("votes") + 1)
