"""Spectra of the surfaces of the synthetic tiles as Sentinel-2 digital numbers, each with its source.

All figures are measured in EuroSAT (Helber et al. 2019, https://doi.org/10.1109/JSTARS.2019.2918242, tiles at
https://github.com/phelber/EuroSAT), in the 100 of its 13-band tiles, ten per class, that EuroSAT100 provides as a STAC
catalog (https://github.com/ai-extensions/stac-data-loader). Digital numbers are top-of-atmosphere reflectance times
10,000, as in all Sentinel-2 L1C products before 2022. The measured medians agree with spectral libraries (Kokaly et al.
2017, USGS Spectral Library Version 7, https://doi.org/10.3133/ds1035): the red edge between B04 and B07 over plants,
the steady rise to B11 over soils, almost nothing beyond B04 over water.
"""

from types import MappingProxyType

import numpy as np

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B09", "B10", "B11", "B12", "B8A")
"""EuroSAT's physical order, not the order of wavelength: B8A is the last."""

# ESA, Sentinel-2 User Handbook (2015), table of spatial resolutions:
# https://sentinels.copernicus.eu/documents/247904/685211/Sentinel-2_User_Handbook
RESOLUTIONS_METRES = (60, 10, 10, 10, 20, 20, 20, 10, 60, 60, 20, 20, 20)
"""Pixel size of each band before it was resampled to 10 metres."""

# Medians over the pixels in the comment of each line. NDVI is (B08 - B04) / (B08 + B04), Rouse et al. 1974
# (https://ntrs.nasa.gov/citations/19740022614).
_MEDIANS = {
    # SeaLake, the 30 % that are darkest in B04, 12,382 pixels
    "clear_water": (1100, 766, 488, 249, 210, 186, 163, 137, 65, 8, 27, 16, 125),
    # SeaLake, the 20 % that are brightest in B04, 8,195 pixels; the median of River's water lies between the two
    "turbid_water": (1348, 1180, 1082, 926, 867, 835, 850, 700, 131, 9, 131, 101, 644),
    # Forest, the 30 % that are darkest in B08, 12,306 pixels
    "conifer": (1223, 874, 647, 394, 585, 1504, 1851, 1750, 572, 8, 769, 315, 2046),
    # Forest, the 30 % that are brightest in B08, 12,312 pixels
    "broadleaf": (1173, 841, 711, 404, 761, 2401, 3113, 3102, 708, 10, 1517, 581, 3488),
    # Pasture with NDVI above 0.65, 23,665 pixels
    "meadow": (1120, 861, 888, 498, 1131, 3186, 4005, 3958, 1086, 11, 1886, 809, 4454),
    # Pasture with NDVI from 0.35 to 0.65, 11,968 pixels
    "grazed": (1229, 1022, 973, 817, 1258, 2368, 2871, 2854, 1176, 13, 2357, 1235, 3302),
    # HerbaceousVegetation with NDVI from 0.2 to 0.35, 10,686 pixels
    "dry_grass": (1282, 1062, 1022, 1074, 1314, 1740, 1937, 1956, 1068, 17, 2429, 1670, 2165),
    # HerbaceousVegetation with NDVI from 0.5 to 0.7, 17,199 pixels
    "scrub": (1195, 976, 920, 799, 1253, 2368, 2789, 2876, 1362, 15, 2221, 1161, 3183),
    # AnnualCrop with NDVI above 0.65, 8,155 pixels
    "crop": (1322, 987, 955, 633, 1136, 3425, 4228, 4181, 933, 11, 1857, 754, 4588),
    # AnnualCrop with NDVI from 0.25 to 0.45, 4,604 pixels
    "stubble": (1385, 1188, 1175, 1238, 1471, 2278, 2740, 2560, 745, 13, 2694, 1683, 3075),
    # AnnualCrop with NDVI below 0.2, the 40 % that are darkest in B11, 5,874 pixels
    "dark_soil": (1480, 1391, 1386, 1678, 1752, 2101, 2374, 2255, 700, 13, 3079, 2307, 2646),
    # AnnualCrop with NDVI below 0.2, the 40 % that are brightest in B11, 5,873 pixels
    "bright_soil": (1599, 1708, 1969, 2668, 2833, 3262, 3598, 3448, 819, 16, 4235, 2950, 3935),
    # PermanentCrop with NDVI above 0.5, 11,262 pixels
    "orchard": (1213, 916, 858, 646, 1040, 2220, 2699, 2637, 655, 11, 1796, 979, 3006),
    # PermanentCrop with NDVI from 0.1 to 0.3, 12,667 pixels
    "orchard_floor": (1426, 1288, 1351, 1622, 1804, 2362, 2706, 2628, 713, 14, 3206, 2141, 3007),
    # Highway with NDVI below 0.1, 1,721 pixels
    "asphalt": (1478, 1360, 1281, 1387, 1457, 1680, 1835, 1630, 528, 12, 2025, 1582, 1946),
    # Residential with NDVI below 0.1, 4,502 pixels
    "house": (1572, 1374, 1195, 1338, 1309, 1514, 1632, 1506, 517, 13, 1922, 1608, 1708),
    # Residential with NDVI above 0.5, 9,268 pixels
    "garden": (1332, 976, 901, 645, 1082, 2220, 2676, 2786, 660, 11, 1830, 1005, 2956),
    # Industrial with NDVI below 0.15, the 40 % that are darkest in B03, 7,445 pixels
    "paved": (1584, 1305, 1159, 1152, 1240, 1454, 1593, 1311, 439, 11, 1782, 1376, 1676),
    # Industrial with NDVI below 0.15, from the 50th to the 80th percentile of B03, 5,586 pixels
    "concrete": (1733, 1723, 1684, 1818, 1790, 2055, 2246, 2076, 520, 12, 2419, 1951, 2396),
    # Industrial with NDVI below 0.15, the 10 % that are brightest in B03, 1,860 pixels
    "roof": (2138, 2953, 2924, 3185, 2832, 3082, 3258, 3405, 938, 14, 3169, 2418, 3344),
}

SURFACES = MappingProxyType({name: np.array(numbers, np.float32) for name, numbers in _MEDIANS.items()})
"""Digital numbers of a surface seen through the atmosphere, float32, one per band in the order of `BANDS`."""

# The 1st percentile over all 409,600 pixels: over the darkest surfaces, all light comes from the atmosphere
# (dark-object subtraction, Chavez 1988, https://doi.org/10.1016/0034-4257(88)90019-3).
PATH = np.array((1020, 731, 463, 242, 204, 178, 156, 131, 52, 5, 24, 13, 119), np.float32)
"""Digital numbers of path radiance, light that the atmosphere scatters to the satellite, float32, one per band."""

# Median over the ten SeaLake tiles of the standard deviation of horizontal first differences, over the root of two.
NOISE = np.array((0.6, 7.8, 7.5, 6.7, 1.8, 1.8, 1.9, 6.4, 0.4, 0.2, 1.3, 1.5, 2.0), np.float32)
"""Standard deviation of the instrument's noise after resampling, digital numbers, float32, one per band."""

# Of log(B09 / B8A), due to water vapor, and of log(B10), due to cirrus, over the means of all tiles but SeaLake's.
WATER_VAPOR_SPREAD = 0.33
CIRRUS_SPREAD = 0.29
"""Standard deviations of the logarithm, from tile to tile."""
