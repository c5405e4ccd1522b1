"""A Redis transport for kombu under which a message is never only in a worker's memory.

Same keys and message format as kombu's own: stock publishers, stock workers, Flower and LLEN work beside it, and a
fleet can be rolled from one to the other and back.
"""
