"""What the demo's users ask and what its assistant has to say, by product."""

from __future__ import annotations

from monitor.demo.texts.billing import BILLING
from monitor.demo.texts.coding import CODING
from monitor.demo.texts.health import HEALTH
from monitor.demo.texts.topic import Product
from monitor.demo.texts.travel import TRAVEL

PRODUCTS: tuple[Product, ...] = (BILLING, CODING, TRAVEL, HEALTH)
