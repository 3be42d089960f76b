"""Stage 1, data: a source -> prepared records -> batches of uint8 images on the devices; after it: augment.

sources   where images come from           prepare  once: measure, split, write; found again later
decode    files to pixels                    resize   to the size that a recipe asks for
listing   which files of a folder count      splits   validation and test set apart
writer    the work of prepare, in threads    shards   the prepared records, and reading them
order     which image comes when           resident, stream, feed   how batches reach the devices
"""

from cnnjax.data.listing import image_files as image_files
from cnnjax.data.order import TrainingRows as TrainingRows
from cnnjax.data.prepare import default_data_dir as default_data_dir
from cnnjax.data.prepare import prepare as prepare
from cnnjax.data.resident import Resident as Resident
from cnnjax.data.resident import fits as fits
from cnnjax.data.shards import Chosen as Chosen
from cnnjax.data.shards import Dataset as Dataset
from cnnjax.data.shards import Split as Split
from cnnjax.data.shards import rule_of as rule_of
from cnnjax.data.stream import Streamed as Streamed
