"""Carry messages: from ``send()`` to bytes on a channel, and back.

Where is a message encoded?

* ``serialization`` makes it bytes, by JSON or by ``advanced``; ``payloads`` has the runtime's own frames;
  ``json_strings`` encodes and decodes the long string of a large message apart.
* ``frames`` cuts a stream into frames; ``passing`` puts a socket beside a message, ``descriptor_queue`` sends it.
* ``line`` sends and receives, the same on both sides; ``channel`` is its end of the socket pair.
* ``writer`` and ``write_queue`` write; ``frame_receiver`` receives, ``reader`` passes on, and ``pace`` keeps a flood
  from taking the whole loop.
* ``arrived`` keeps what has come before anybody listens.
"""
