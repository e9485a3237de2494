/* Matahari's schema XML, the form qmf-gen reads:
 *
 *   <schema package="org.example">
 *     <eventArguments> <arg name= type= [desc= unit=]/> … </eventArguments>
 *     <event name= args="a,b" [sev="inform" desc=]/>
 *     <class name= [desc=]>
 *       <property name= type= [access="RO|RW|RC" index="y" optional="y" unit= desc=]/>
 *       <statistic name= type= [unit= desc=]/>
 *       <method name= [desc=]> <arg name= dir="I|O|IO" type= [default= unit= desc=]/> … </method>
 *     </class>
 *   </schema> */
#ifndef MEND_QMF_SCHEMA_XML_H
#define MEND_QMF_SCHEMA_XML_H

#include "lib/qmf/schema.h"

#define QMF_SCHEMA_BYTES_MAX (1024 * 1024)

/* The classes of one text, events among them, in the order of the text; (transfer full) elements QmfClass. NULL: QMF_ERROR_SCHEMA or
 * QMF_ERROR_LIMIT, "file:line:column: what". */
GPtrArray *schema_xml_parse(const char *text, size_t length, const char *file, GError **error);

/* Frees the content and leaves zeros; half-built is fine. In schema.c. */
void schema_property_done(QmfProperty *property);
void schema_method_done(QmfMethod *method);

#endif
