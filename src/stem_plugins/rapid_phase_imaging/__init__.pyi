from .reconstruct import airpi, iter_airpi
from .result import AirpiResult

__all__ = ["AirpiResult", "airpi", "iter_airpi"]
