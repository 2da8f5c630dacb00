"""The synthetic PMO: a waiting-list system of any size, with every fault at known posts.

``generate`` fills a database with the tables ``enhet``, ``patient``, ``vantelistepost`` and ``bilaga``
and writes the truth beside it: which disposition and which findings each post must get, with and without
the person service, and what that service says of each patient (``register``). A post is composed of
independent parts (``components``), by chance (``draws``) or as planted (``scenarios``). The outcome of
the parts is stated once, in ``truth``, and never computed by the code that it judges. Persons have
official test numbers only (``persons``).
"""

from waitlist.simulator.generation import MAPPINGS, PEOPLE, RELEASED, TRUTH, Generation, generate
from waitlist.simulator.orders import TABLES, Order, SimulatorError

__all__ = ["MAPPINGS", "PEOPLE", "RELEASED", "TABLES", "TRUTH", "Generation", "Order", "SimulatorError", "generate"]
