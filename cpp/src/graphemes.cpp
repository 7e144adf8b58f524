#include "graphemes.hpp"

namespace vecsmith::grapheme_detail {

#include "grapheme_tables.inc"

}  // namespace vecsmith::grapheme_detail
