"""Properties assert behaviour, never duration: a busy machine makes no test fail."""

from hypothesis import HealthCheck, settings

settings.register_profile("lowbit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lowbit")
