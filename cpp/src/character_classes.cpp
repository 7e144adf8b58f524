#include "vecsmith/character_classes.hpp"

namespace vecsmith::character_detail {

#include "character_classes.inc"

}  // namespace vecsmith::character_detail
